{% if x %}
group "default" {
