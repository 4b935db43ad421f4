target "ÿ" {}
