"""Where does this logit come from?"""
