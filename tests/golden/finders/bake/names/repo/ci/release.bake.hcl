target "a" { contexts = { x = "docker-image://node:20" } }
