FROM alpine:15
