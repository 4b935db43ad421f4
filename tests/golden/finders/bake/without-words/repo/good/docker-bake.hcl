target "app" {
  contexts = { base = "docker-image://node:20" }
}
