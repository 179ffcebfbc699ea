"""The renderer: street photos of licence plates in CCPD's form, drawn from fonts and numbers alone."""
