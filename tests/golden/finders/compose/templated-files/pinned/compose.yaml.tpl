services:
  web:
    image: <%= image %>
  db:
    image: mysql:8@sha256:2a7e7c60168cab290cc33b00416c7b6734e97bf8a51d9488eeaa9a29e1e5cad6
