variable "BASE" { default = "node:22" }
target "app" {
  dockerfile = "dev.Dockerfile"
  args       = { B = "2" }
}
