# Grüße an die Köche 🥐
target "größe" {
	contexts = { "ü" = "x", node = "docker-image://node:20" } # behind
	contexts2 = {}
}
/* a
 block */ target "b" { contexts = { a = "docker-image://redis:8" } }