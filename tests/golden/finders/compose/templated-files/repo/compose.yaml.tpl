services:
  web:
    image: <%= image %>
  db:
    image: mysql:8
