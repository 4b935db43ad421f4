variable "GO_IMAGE" { default = "golang:1.25@sha256:9aa2de3611b94132512079c465fdead9c3a6a3ad0d8e6c5bf38384a1bbfbba73" }
variable "UNSET" { default = null }

target "web" {
  context = "web"
  args = {
    BASE    = "node:22@sha256:8a02eda372743655dfbe5f03e83a19ea8b6c35a44be41aea679db02fa4c72a35"
    VERSION = "1.2"
    UNSET   = UNSET
    GONE    = null
    SUFFIX  = "alpine"
  }
}

target "api" {
  context    = "./api"
  dockerfile = "Containerfile"
  args       = { GO = GO_IMAGE, RUNTIME = "gcr.io/distroless/static:${VARIANT}" }
}

target "elsewhere" {
  context = "https://github.com/acme/other.git"
  args    = { BASE = "node:18" }
}

target "child" {
  inherits   = ["web"]
  dockerfile = "child.Dockerfile"
}

target "mixed" {
  dockerfile = "mixed.Dockerfile"
  args       = { ONE = "redis:8@sha256:afcc918cd48584271dd69b80d727b83fa3782afc439fb51650b211725aa53b0f", TWO = "redis:7" }
}

target "mixed-child" {
  inherits   = ["mixed"]
  dockerfile = "other.Dockerfile"
}
