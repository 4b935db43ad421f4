variable "BASE" {
  default = "node:20"
}
variable "SCHEMED" { default = "docker-image://golang:1.25" }
variable "SHARED" {
  default = "debian:12"
}
variable "TWICE" { default = "busybox:1" }
variable "EMPTY" {}
variable "NOTHING" { default = null }
variable "PINNED" { default = "alpine:3@sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1" }
variable "MADE" { default = "nginx:${VERSION}" }
ATTRIBUTE = "redis:8"

target "app" {
  contexts = {
    base      = "docker-image://${BASE}"
    schemed   = SCHEMED
    shared    = "docker-image://${SHARED}"
    twice     = "docker-image://${TWICE}"
    empty     = "docker-image://${EMPTY}"
    nothing   = "docker-image://${ NOTHING }"
    pinned    = "docker-image://${PINNED}"
    made      = "docker-image://${MADE}"
    attribute = "docker-image://${ATTRIBUTE}"
    missing   = "docker-image://${MISSING}"
  }
  labels = { "org.example.base" = SHARED }
}
target "other" {
  contexts = { twice = "docker-image://${TWICE}" }
}
