target "web" {
  args = { BUILDKIT_SYNTAX = "docker/dockerfile:1.7@sha256:ea5a34b58c58cbff9a410669be600c701e590e4a3ee6c79c84dcb8b309932fbd", VERSION = "1.2" }
}

target "elsewhere" {
  context = "https://github.com/acme/other.git"
  args    = { BUILDKIT_SYNTAX = "ghcr.io/acme/frontend:2@sha256:e68f2a27b5030e3954e9b107e3e313e0e01ed250549297a857fbb2da6a95b412", BASE = "node:18" }
}
