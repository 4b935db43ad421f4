target "web" {
  args = { BUILDKIT_SYNTAX = "docker/dockerfile:1.7", VERSION = "1.2" }
}

target "elsewhere" {
  context = "https://github.com/acme/other.git"
  args    = { BUILDKIT_SYNTAX = "ghcr.io/acme/frontend:2", BASE = "node:18" }
}
