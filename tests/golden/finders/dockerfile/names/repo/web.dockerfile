FROM alpine:8
