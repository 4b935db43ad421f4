group "default" {
