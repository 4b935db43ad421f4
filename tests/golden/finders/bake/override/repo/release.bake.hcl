target "release" {
  inherits = ["app"]
  contexts = { c = "docker-image://alpine:3" }
}
