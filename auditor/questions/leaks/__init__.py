"""Do train and test share places, cameras, slides?"""
