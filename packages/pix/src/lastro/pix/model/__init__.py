"""What Pix talks about: identifiers, amounts, rules, messages and their codecs. Pure: no Redis, no clock, no chance."""
