"""Networks: operations, cells, skeletons, architectures, and the one loop that trains them."""
