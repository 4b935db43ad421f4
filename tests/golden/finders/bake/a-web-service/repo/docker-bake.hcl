variable "REPO" {
  default = "ghcr.io/acme/shop"
}

variable "VERSION" {
  default = "edge"
  validation {
    condition     = VERSION != ""
    error_message = "A version is needed: { or } do not matter here."
  }
}

variable "PUSH" { default = false }

variable "NODE_IMAGE" {
  description = "What everything is built upon."
  type        = string
  default     = "node:22-alpine"
}

function "platforms" {
  params = []
  result = PUSH ? ["linux/amd64", "linux/arm64"] : []
}

group "default" {
  targets = ["web", "worker", "assets"]
}

# filled in by the metadata action
target "docker-metadata-action" {}

target "_base" {
  inherits  = ["docker-metadata-action"]
  platforms = platforms()
  args = {
    NODE_IMAGE = NODE_IMAGE
  }
  cache-from = ["type=gha"]
  cache-to   = PUSH ? ["type=gha,mode=max"] : []
}

target "assets" {
  inherits = ["_base"]
  context  = "assets"
  contexts = {
    chrome = "docker-image://chromedp/headless-shell:stable"
  }
  output = ["type=cacheonly"]
}

target "web" {
  inherits = ["_base"]
  target   = "web"
  contexts = {
    assets = "target:assets"
    nginx  = "docker-image://nginxinc/nginx-unprivileged:1.29"
  }
  tags = [
    "${REPO}/web:${VERSION}",
    PUSH ? "${REPO}/web:latest" : "",
  ]
}

target "worker" {
  inherits = ["_base"]
  target   = "worker"
  tags     = ["${REPO}/worker:${VERSION}"]
}
