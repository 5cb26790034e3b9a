"""What both ends of a Xen network device need: rings, requests and responses, frames, pages and copies of grants.

Source: Xen public/io/ring.h, public/io/netif.h, public/grant_table.h.
"""
