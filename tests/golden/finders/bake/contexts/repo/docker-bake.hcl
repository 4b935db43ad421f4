# Images that stand in for what a Dockerfile names.
variable "ALPINE" {
  default = "3.20"
}

target "app" {
  contexts = {
    node      = "docker-image://node:20"
    "go:1.25" = "docker-image://ghcr.io/acme/go"   // no tag
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
  contexts = merge({ one = "docker-image://perl:5", two = "./two" }, LOCAL ? {} : { three = "docker-image://perl:${V}" })
}
target "chosen" {
  contexts = {
    node = LOCAL ? "./node" : "docker-image://node:24"
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
