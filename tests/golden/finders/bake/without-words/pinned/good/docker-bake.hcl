target "app" {
  contexts = { base = "docker-image://node:20@sha256:194b23bd4ffb132c9a190cac099e31e17ef534cbdad6eeabbc022ed3146220ad" }
}
