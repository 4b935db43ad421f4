target "release" {
  inherits = ["app"]
  contexts = { c = "docker-image://alpine:3@sha256:effe2ff6bfe48798e03f5eda78efa5245b1f6922fd2b7cbc916b6b8574eeec4d" }
}
