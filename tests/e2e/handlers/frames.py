import numpy as np
import pandas as pd


def handler(event, context):
    frame = pd.DataFrame({"ad": event["ads"], "clicks": np.arange(len(event["ads"]))})
    return frame.groupby("ad").clicks.sum().to_dict()
