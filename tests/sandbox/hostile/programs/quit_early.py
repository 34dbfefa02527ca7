# kind: ending
# ends: ok
quit()
