variable "GO_IMAGE" { default = "golang:1.25" }
variable "UNSET" { default = null }

target "web" {
  context = "web"
  args = {
    BASE    = "node:22"
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
  args       = { ONE = "redis:8", TWO = "redis:7" }
}

target "mixed-child" {
  inherits   = ["mixed"]
  dockerfile = "other.Dockerfile"
}
