"""Networks and how they are trained; they know images and noise, not physics."""
