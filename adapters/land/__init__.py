"""The land register: parcels, who holds them and who is registered to live on them."""
