variable "TAG" { default = "3" }
target "heredoc" {
  args     = { FLAVOUR = "x", OUTSIDE = "debian:13" }
  contexts = { nginx = "./nginx", other = "./other" }
  dockerfile-inline = <<EOT
ARG OUTSIDE=debian:12
FROM alpine:3.20@sha256:d3dfed77bb64d7d29a735783a2a90e9a1979dacbe1b8dead996d9ebc78544336 AS base
COPY --from=nginx:1@sha256:ea996a051ac10cd365fd9c754b6fd92220b8a7976eb415e47f2a26560aef5434 /etc/nginx /etc/nginx
COPY --from=nginx /a /b
COPY --from=other /a /b
RUN echo "}" && echo '$${HOME}'
FROM $OUTSIDE
EOT
}
target "indented" {
  dockerfile-inline = <<-EOT
    ARG NAME=busybox:1
    FROM $NAME
    FROM debian:${TAG}
    FROM golang:latest@sha256:d754ed9f64ac293b10268157f283ee23256fb32a4f8dedb25c8446ca5bcb0bb3
  EOT
}
target "string" { dockerfile-inline = "FROM redis:8@sha256:afcc918cd48584271dd69b80d727b83fa3782afc439fb51650b211725aa53b0f" }
target "broken-line" { dockerfile-inline = "FROM redis:8\nRUN true" }
