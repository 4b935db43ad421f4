FROM alpine:7
