target "x" { dockerfile = "x.build" }
target "y" {
  context = "parts"
  dockerfile = "y.build"
}
