variable "REGISTRY" {
  default = "ghcr.io/acme"
}
variable "TAG" { default = "dev" }
variable "EXTRA" { default = ["acme/extra:1"] }
variable "COMMON" {
  default = { SHARED_BY_ALL = "x" }
}

function "tagged" {
  params = [name]
  result = ["${REGISTRY}/${name}:${TAG}", "acme/fixed:2"]
}

group "default" {
  targets = ["web", "worker"]
}

target "_common" {
  args = {
    NODE_VERSION          = "22"
    "BUILDKIT_INLINE"     = 1
    (TAG)                 = "computed"
  }
  contexts = { shared = "./shared" }
  platforms = ["linux/amd64", "linux/arm64"]
}

target "web" {
  inherits   = ["_common"]
  dockerfile = "docker/web.Dockerfile"
  args       = { WEB = "1" }
  tags       = ["${REGISTRY}/web:${TAG}", "acme/web"]
}

target "worker" {
  inherits = ["_common"]
  context  = "x"
  tags     = tagged("worker")
  output   = ["type=image,name=registry.example.com/worker,push=true"]
}

target "tools" {
  context = "tools"
  args    = COMMON
  tags    = concat(EXTRA, [for one in ["a", "b"] : "acme/tools:${one}"])
  output  = [{ type = "image", name = "acme/from-output" }]
}

target "dynamic" {
  dockerfile = "${FLAVOUR}.Dockerfile"
  args       = { DYNAMIC = "1" }
  tags       = notequal("", TAG) ? ["${REGISTRY}/dynamic:${TAG}"] : []
}
