c:
  image: python:3.14@sha256:5773a53d2f3fd59e6dddeb86ba97e15a136f03557026ff3a3ffb246c67a6e084
  script: [x]
