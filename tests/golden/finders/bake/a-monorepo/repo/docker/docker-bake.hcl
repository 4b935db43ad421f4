group "all" { targets = ["a", "b"] }
target "a" {
  context  = "services/a"
  contexts = { base = "docker-image://debian:13-slim", "python:3.13" = "target:python" }
  args     = { RUST = "rust:1.90" }
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
