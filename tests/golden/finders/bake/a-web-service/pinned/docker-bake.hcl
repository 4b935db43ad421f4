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
  default     = "node:22-alpine@sha256:22c1edb32d80d7d5460fa55063156af7fa5daa79bf932170a06e30c9d8fbb09f"
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
    chrome = "docker-image://chromedp/headless-shell:stable@sha256:496e4d6e1fe72c3b6d34abc9afea900c181ea94b86bb6fd24ee909db99fb2764"
  }
  output = ["type=cacheonly"]
}

target "web" {
  inherits = ["_base"]
  target   = "web"
  contexts = {
    assets = "target:assets"
    nginx  = "docker-image://nginxinc/nginx-unprivileged:1.29@sha256:6d954aa555aaa92727ecbbcc44a320ffe2873fda7cfeee652260bb731ea5f4a0"
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
