# Images that stand in for what a Dockerfile names.
variable "ALPINE" {
  default = "3.20"
}

target "app" {
  contexts = {
    node      = "docker-image://node:20@sha256:194b23bd4ffb132c9a190cac099e31e17ef534cbdad6eeabbc022ed3146220ad"
    "go:1.25" = "docker-image://ghcr.io/acme/go:latest@sha256:fadaff267374939e2e0eb50445acf58a44871cfaa91ca76fb5bc4028a46a61e0"   // no tag
    pinned    = "docker-image://alpine:3@sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"
    escaped   = "docker-image://redis\u003a8"
    partial   = "docker-image://alpine:${ALPINE}"
    unknown   = "docker-image://alpine:${RELEASE}"
    function  = "docker-image://alpine:${lower("X")}"
    digested  = "docker-image://${HOST}/x@sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"
    invalid   = "docker-image://Alpine:3:4"
    folder    = "./base"
    other     = "target:base", git = "https://github.com/acme/lib.git#v1"
    dollar    = "docker-image://x/$${y}"
  }
}

target "base" {
  contexts = { docker.io/library/debian:12 = "docker-image://debian:13" }
  dockerfile = "base.Dockerfile"
}

target "evaluated" {
  contexts = merge({ one = "docker-image://perl:5@sha256:693abb00c2d6d343d6ed5c747139801832814561b031109ec91ea00c8bdc8245", two = "./two" }, LOCAL ? {} : { three = "docker-image://perl:${V}" })
}
target "chosen" {
  contexts = {
    node = LOCAL ? "./node" : "docker-image://node:24@sha256:95d84dddd1ac4c11eda7d6bbc5ea94c30fb1b0b128cb80cf278c73563356ce65"
  }
}

function "upstream" {
  params = [name]
  result = "docker-image://ghcr.io/acme/${name}:1"
}
target "called" {
  contexts = { a = upstream("a") }
}
function "whole" {
  params = [ALPINE]
  result = "docker-image://${ALPINE}"
}
