variable "BASE" { default = "node:20" }
variable "OTHER" { default = "golang:1.25@sha256:9aa2de3611b94132512079c465fdead9c3a6a3ad0d8e6c5bf38384a1bbfbba73" }
target "app" {
  dockerfile = "app.Dockerfile"
  contexts   = { a = "docker-image://${BASE}", b = "docker-image://${OTHER}" }
  args       = { A = "1" }
}
