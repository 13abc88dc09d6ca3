"""MLflow's scoring protocol, which SageMaker's containers share: bodies of `/invocations` → columns.

json_frames   the four JSON forms: `dataframe_split`, `dataframe_records`, `instances`, `inputs`
tables        CSV and the other file formats of jobs
"""
