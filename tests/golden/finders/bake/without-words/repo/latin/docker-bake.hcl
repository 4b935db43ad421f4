# a
# café
