c:
  image: python:3.14
  script: [x]
