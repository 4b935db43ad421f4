#!/bin/sh
docker push registry.example.com/shop/orders
