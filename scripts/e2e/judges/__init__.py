"""A black-box judge of TCP: segments made by hand at one end of a wire, a TCP at the other, and RFCs between them."""
