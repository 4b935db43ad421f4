target "app" {
  name = "app-${part}-${replace(version, ".", "-")}"
  matrix = {
    part    = ["web", "api"]
    version = ["1.1", "2.0"]
  }
  context    = part
  dockerfile = "${part}.Dockerfile"
  args       = { VERSION = version }
  contexts   = {
    "base-${part}" = "docker-image://node:22"
    image          = "docker-image://${version}"
    tagged         = "docker-image://golang:${version}"
  }
  tags = ["acme/${part}:${version}"]
}
target "objects" {
  name       = item.name
  matrix     = { item = [{ name = "a", dir = "x" }, { name = "b", dir = "y" }] }
  context    = item.dir
  dockerfile = "${item.name}.Dockerfile"
  args       = { OBJECT = item.name }
}
