target "a" {
  contexts = { a = "docker-image://node:20" }
}
target "b" {
  tags = ["x
}
