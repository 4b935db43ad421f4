group "all" { targets = ["a", "b"] }
target "a" {
  context  = "services/a"
  contexts = { base = "docker-image://debian:13-slim@sha256:df2dc25d186f7f6554324ece057ec7541a410ef89a9d4e42332bea7832f9d558", "python:3.13" = "target:python" }
  args     = { RUST = "rust:1.90@sha256:93c0f87388193725072588f89c2598aea42f08bae37fa1fb38193ae8ecd9ef5a" }
}
target "b" {
  context    = "."
  dockerfile = "services/b/Dockerfile"
  args       = { RUST = "rust:1.91" }
}
target "python" {
  context    = "docker"
  dockerfile = "python.Dockerfile"
}
