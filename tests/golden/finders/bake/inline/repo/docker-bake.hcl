variable "TAG" { default = "3" }
target "heredoc" {
  args     = { FLAVOUR = "x", OUTSIDE = "debian:13" }
  contexts = { nginx = "./nginx", other = "./other" }
  dockerfile-inline = <<EOT
ARG OUTSIDE=debian:12
FROM alpine:3.20 AS base
COPY --from=nginx:1 /etc/nginx /etc/nginx
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
    FROM golang
  EOT
}
target "string" { dockerfile-inline = "FROM redis:8" }
target "broken-line" { dockerfile-inline = "FROM redis:8\nRUN true" }
