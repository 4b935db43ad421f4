variable "BASE" { default = "node:20" }
variable "OTHER" { default = "golang:1.25" }
target "app" {
  dockerfile = "app.Dockerfile"
  contexts   = { a = "docker-image://${BASE}", b = "docker-image://${OTHER}" }
  args       = { A = "1" }
}
