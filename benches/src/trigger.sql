-- The same decomposition by PostgreSQL alone: the subscriber receives the old table by native logical
-- replication, and a trigger writes the four new ones. Written as a careful person would: upserts,
-- metrics replaced as a set.
CREATE FUNCTION decompose() RETURNS trigger LANGUAGE plpgsql AS $$
-- The apply worker of a subscription has an empty search_path.
BEGIN
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND OLD.id <> NEW.id) THEN
        DELETE FROM public.inference_config WHERE model_id = OLD.id;
        DELETE FROM public.training_metrics WHERE model_id = OLD.id;
        DELETE FROM public.model_parameters WHERE model_id = OLD.id;
        DELETE FROM public.model_metadata WHERE id = OLD.id;
        IF TG_OP = 'DELETE' THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO public.model_metadata
    VALUES (NEW.id, NEW.model_name, NEW.model_version, NEW.training_data_size, NEW.hyperparameters,
            NEW.created_at, NEW.updated_at, NEW.status)
    ON CONFLICT (id) DO UPDATE SET model_name = excluded.model_name,
        model_version = excluded.model_version, training_data_size = excluded.training_data_size,
        hyperparameters = excluded.hyperparameters, created_at = excluded.created_at,
        updated_at = excluded.updated_at, status = excluded.status;
    IF NEW.model_weights IS NULL THEN
        DELETE FROM public.model_parameters WHERE model_id = NEW.id;
    ELSE
        INSERT INTO public.model_parameters VALUES (NEW.id, NEW.model_weights)
        ON CONFLICT (model_id) DO UPDATE SET model_weights = excluded.model_weights;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM public.training_metrics WHERE model_id = NEW.id;
    END IF;
    IF NEW.training_metrics IS NOT NULL THEN
        INSERT INTO public.training_metrics (model_id, metric_name, metric_value, "timestamp")
        SELECT NEW.id, m.key, m.value::numeric, NEW.updated_at
        FROM jsonb_each_text(NEW.training_metrics) AS m;
    END IF;
    IF NEW.inference_config IS NULL THEN
        DELETE FROM public.inference_config WHERE model_id = NEW.id;
    ELSE
        INSERT INTO public.inference_config VALUES (NEW.id, NEW.inference_config)
        ON CONFLICT (model_id) DO UPDATE SET config = excluded.config;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER decompose AFTER INSERT OR UPDATE OR DELETE ON ai_workloads
    FOR EACH ROW EXECUTE FUNCTION decompose();
-- Without this, the apply worker of a subscription fires no triggers.
ALTER TABLE ai_workloads ENABLE ALWAYS TRIGGER decompose;
