"""Media: session descriptions (SDP), and the media relays that rewrite them."""
