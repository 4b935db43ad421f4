variable "REGISTRY" { default = "ghcr.io/acme" }
target "web" {
  context = "web"
  args = {
    BASE = "debian:13" # moorline: ignore[they are moved together]
  }
  contexts = { node = "./node" }
  tags     = ["${REGISTRY}/web:dev"]
}
target "api" {
  context = "api"
  args    = { NONE = null }
  tags    = ["${PREFIX}/team/api"]
}
