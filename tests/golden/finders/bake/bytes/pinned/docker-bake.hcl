# Grüße an die Köche 🥐
target "größe" {
	contexts = { "ü" = "x", node = "docker-image://node:20@sha256:194b23bd4ffb132c9a190cac099e31e17ef534cbdad6eeabbc022ed3146220ad" } # behind
	contexts2 = {}
}
/* a
 block */ target "b" { contexts = { a = "docker-image://redis:8@sha256:afcc918cd48584271dd69b80d727b83fa3782afc439fb51650b211725aa53b0f" } }