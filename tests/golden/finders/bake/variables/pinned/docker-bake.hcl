variable "BASE" {
  default = "node:20@sha256:194b23bd4ffb132c9a190cac099e31e17ef534cbdad6eeabbc022ed3146220ad"
}
variable "SCHEMED" { default = "docker-image://golang:1.25@sha256:9aa2de3611b94132512079c465fdead9c3a6a3ad0d8e6c5bf38384a1bbfbba73" }
variable "SHARED" {
  default = "debian:12"
}
variable "TWICE" { default = "busybox:1@sha256:765f875080a9220ec3186dfc31b67b030c07e570665ba0e000bb9d17d5481cd5" }
variable "EMPTY" {}
variable "NOTHING" { default = null }
variable "PINNED" { default = "alpine:3@sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1" }
variable "MADE" { default = "nginx:${VERSION}" }
ATTRIBUTE = "redis:8@sha256:afcc918cd48584271dd69b80d727b83fa3782afc439fb51650b211725aa53b0f"

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
